package llmtest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFake(t *testing.T) {
	Run(t, func(*testing.T) llm.Backend { return NewFake("fake", Context, MaxRunning, MaxWaiting) })
}
