package main

import (
	"io"
	"log/slog"
	"os"
	"strings"

	"gopkg.in/natefinch/lumberjack.v2"
)

// newLogger logs to standard output, and to a rotated file when one is set
// (P6). Close it last.
func newLogger(c *config) (*slog.Logger, io.Closer, error) {
	if err := checkLogFile(c.LogFile); err != nil {
		return nil, nil, err
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(strings.ToUpper(c.LogLevel))) // the configuration allows only its words
	var w io.Writer = os.Stdout
	var closer io.Closer = io.NopCloser(nil)
	if c.LogFile != "" {
		f := &lumberjack.Logger{Filename: c.LogFile, MaxSize: 20 /* MB */, MaxBackups: 5, Compress: true}
		w, closer = io.MultiWriter(os.Stdout, f), f
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), closer, nil
}
