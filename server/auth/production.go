package auth

import (
	"fmt"
	"strings"
)

// MinSecret is the shortest SESSION_SECRET that production accepts.
const MinSecret = 33

// CheckProduction says, each with how to mend it, what forbids a start in
// production: a secret or a password that others know or can guess.
func CheckProduction(sessionSecret, adminPassword string) []string {
	const how = " Make one with: openssl rand -base64 48"
	var bad []string
	switch {
	case sessionSecret == "":
		bad = append(bad, "SESSION_SECRET is not set."+how)
	case len(sessionSecret) < MinSecret:
		bad = append(bad, fmt.Sprintf("SESSION_SECRET has %d characters and needs at least %d.%s", len(sessionSecret), MinSecret, how))
	case guessable(sessionSecret):
		bad = append(bad, "SESSION_SECRET looks like an example or a repeated pattern."+how)
	}
	switch {
	case adminPassword == DemoPassword:
		bad = append(bad, "ECHOTWIN_ADMIN_PASSWORD is the demo password. Choose another, or leave it out and a random one is printed at the first start.")
	case adminPassword != "" && checkPassword(adminPassword) != nil:
		bad = append(bad, fmt.Sprintf("ECHOTWIN_ADMIN_PASSWORD needs %d to %d bytes.", MinPassword, maxPassword))
	}
	return bad
}

// guessable knows the words that stand in examples, and secrets of few
// different characters.
func guessable(s string) bool {
	lower := strings.ToLower(s)
	for _, w := range []string{"changeme", "change-me", "change_me", "default", "example", "chuoi_bi_mat", "your-", "your_", "keyboard cat"} {
		if strings.Contains(lower, w) {
			return true
		}
	}
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen) < 10
}
