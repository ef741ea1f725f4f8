package sasl

// Hash is a hash function that SCRAM is used with.
type Hash string

// The hash functions of RFC 5802 and RFC 7677.
const (
	SHA1   Hash = "SHA-1"
	SHA256 Hash = "SHA-256"
)

// Keys are what a server keeps of a password for SCRAM (RFC 5802 section 3).
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}
