package attest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
)

// A program whose key is in memory or on a device, and whose reports are not files, signs and checks a statement
// without ReadSigner, ReadKeys and SignFile.
func ExampleNewSigner() {
	ctx := context.Background()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	data, err := report.JSON(&report.Report{TestCase: "TC-MINE", Status: report.Pass,
		SchemaVersion: report.SchemaVersion})
	if err != nil {
		log.Fatal(err)
	}
	record := sha256.Sum256([]byte("the record"))
	statement, err := attest.NewStatement(attest.Files{ReportName: "mine.json", Report: data,
		RecordName: "mine.events.jsonl.gz", RecordSHA256: hex.EncodeToString(record[:])})
	if err != nil {
		log.Fatal(err)
	}
	signer, err := attest.NewSigner(private)
	if err != nil {
		log.Fatal(err)
	}
	envelope, err := attest.Sign(ctx, statement, signer)
	if err != nil {
		log.Fatal(err)
	}
	accepted, err := attest.NewKey(public, "release")
	if err != nil {
		log.Fatal(err)
	}
	by, err := envelope.Check(ctx, []attest.Key{accepted})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(by[0].Name, envelope.Statement.Names(data))
	// Output: release true
}
