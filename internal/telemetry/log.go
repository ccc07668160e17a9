package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// LogLevels and LogFormats are what NewLogger accepts.
var (
	LogLevels  = []string{"debug", "info", "warn", "error", "off"}
	LogFormats = []string{"text", "json"}
)

// NewLogger writes records of at least the given level to w.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	if !slices.Contains(LogLevels, level) {
		return nil, fmt.Errorf("log level %q: must be one of %s", level, strings.Join(LogLevels, ", "))
	}
	if !slices.Contains(LogFormats, format) {
		return nil, fmt.Errorf("log format %q: must be one of %s", format, strings.Join(LogFormats, ", "))
	}
	if level == "off" {
		return slog.New(slog.DiscardHandler), nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}
