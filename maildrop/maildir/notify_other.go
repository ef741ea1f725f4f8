//go:build !linux

package maildir

// newNotifier gives none: folders are listed.
func newNotifier() notifier { return nil }
