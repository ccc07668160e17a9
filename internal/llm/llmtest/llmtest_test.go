package llmtest

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestFake(t *testing.T) {
	Run(t, func(*testing.T) llm.Backend { return NewFake("fake", Context, MaxRunning, MaxWaiting) })
}
