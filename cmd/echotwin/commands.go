package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// commands are what echotwin can be asked to do. Their flags are documented by
// echotwin --help, and those of config are common to all.
type commands struct {
	config `embed:""`

	Serve struct{} `cmd:"" default:"1" help:"Serve. This is what echotwin does without a command."`

	Backup struct {
		File  string `arg:"" help:"File to write, - for standard output."`
		URL   string `name:"url" env:"ECHOTWIN_URL" help:"Address of the running server; http://localhost:3000 when only a token is given."`
		Token string `env:"ECHOTWIN_TOKEN" help:"Token of an administrator for the running server. Without it the data folder itself is read, and no server may run in it."`
	} `cmd:"" help:"Copy everything that is kept into one file, while the server runs or from a stopped folder. The file holds secrets."`

	Restore struct {
		File    string `arg:"" help:"File that backup wrote, - for standard input."`
		Replace bool   `help:"Move what is in the data folder aside when it is not empty."`
	} `cmd:"" help:"Make the data folder (--data) from a backup."`

	Doctor struct {
		Fix bool `help:"Do what is said, instead of only saying it."`
	} `cmd:"" help:"Look through the data folder (--data) and say what is found and what would be done."`

	Accounts accountCommands `embed:""`

	do   string // the command that was chosen
	full string // and the one below it: "user add"
}

// serverAt is the running server that a command is about; "" when it is about
// the data folder. Whoever names a server must not be answered from a folder.
func serverAt(url, token string) (string, error) {
	switch {
	case token == "" && url != "":
		return "", errors.New("--url (ECHOTWIN_URL) names a running server, which wants --token (ECHOTWIN_TOKEN) of an administrator, too; without both it is about the data folder")
	case token != "" && url == "":
		return "http://localhost:3000", nil
	}
	return url, nil
}

// kept refuses a data folder in which nothing is kept: a name with a mistake in
// it would be made, and be found empty.
func (c *config) kept() error {
	if c.Nats != "" {
		return nil
	}
	if info, err := os.Stat(filepath.Join(c.Data, "nats")); err != nil || !info.IsDir() {
		return fmt.Errorf("there is nothing of echotwin in the data folder %s: name another with --data (ECHOTWIN_DATA)", c.Data)
	}
	return nil
}
