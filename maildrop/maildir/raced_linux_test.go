//go:build race

package maildir

// defaultSteps of TestOracle are few with the race detector, which makes it ten
// times slower: `make unit` runs it again without.
const defaultSteps = 2 * worldSteps
