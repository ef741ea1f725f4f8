//go:build !race

package maildir

// defaultSteps are how many steps TestOracle does.
const defaultSteps = 10 * worldSteps
