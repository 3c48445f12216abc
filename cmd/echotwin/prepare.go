package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"echotwin/realtime/history"
	"echotwin/server/auth"
)

// prepare makes the data folder and the secret of development, and refuses
// what must not run in production.
func prepare(cfg *config, log *slog.Logger) error {
	if cfg.production() {
		if wrong := auth.CheckProduction(cfg.SessionSecret, cfg.AdminPassword); len(wrong) > 0 {
			return fmt.Errorf("this must not run in production:\n  - %s", strings.Join(wrong, "\n  - "))
		}
	}
	if cfg.HistoryURL != "" {
		if err := history.CheckURL(cfg.HistoryURL); err != nil {
			return fmt.Errorf("the store of history (HISTORY_URL): %w", err)
		}
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return fmt.Errorf("the data folder (ECHOTWIN_DATA): %w", err)
	}
	if err := writable(cfg.Data); err != nil {
		return err
	}
	if err := migrate(cfg.Data, log); err != nil {
		return err
	}
	if cfg.SessionSecret == "" {
		secret, err := keptSecret(filepath.Join(cfg.Data, "session-secret"))
		if err != nil {
			return err
		}
		cfg.SessionSecret = secret
	}
	return nil
}

// writable refuses a folder that cannot be written to. Nothing could be
// acknowledged there, and neither NATS nor history opens what it cannot write
// to, so there would be nothing to show either. A disk that is full is another
// matter: it may be opened, and has room again one day.
func writable(data string) error {
	f, err := os.CreateTemp(data, ".probe-")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err == nil || errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return fmt.Errorf("the data folder %s (ECHOTWIN_DATA) cannot be written to, and nothing is served without it: %w; mount it for writing, or make it belong to the user that runs echotwin", data, err)
}

// keptSecret reads the secret that development makes for itself, so that a
// restart does not sign everybody out.
func keptSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) >= auth.MinSecret {
		return string(b), nil
	}
	secret := rand.Text() + rand.Text()
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return "", fmt.Errorf("keeping the session secret: %w", err)
	}
	return secret, nil
}
