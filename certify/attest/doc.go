// Package attest signs certification reports and checks their signatures: an in-toto attestation of the type
// test-result, in a DSSE envelope, with SSH keys or PEM keys.
//
// statement.go says what is signed: the digests of the report and of its record, the case, the target and the verdict.
// envelope.go signs a statement, reads an envelope, and checks its signatures with the accepted public keys. signer.go
// reads private keys, pkcs8.go decrypts those of PKCS #8, and agent.go asks an SSH agent for signatures. keys.go reads
// public keys, and file.go reads and writes the files. Start reading at Statement.
package attest
