// Package pamusers has passwords checked by PAM, as the machine's own logins
// are. It takes cgo, by way of its library, and so is empty without the build
// tag pam.
package pamusers
