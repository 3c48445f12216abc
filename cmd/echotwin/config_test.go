package main

import (
	"maps"
	"os"
	"strings"
	"testing"
)

func env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

func TestConfigDefaultsFollowTheEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		env      map[string]string
		demo     bool
		mqttAddr string
		listen   string
	}{
		{name: "development", demo: true, mqttAddr: "127.0.0.1:1883", listen: ":3000"},
		{name: "production", env: map[string]string{"NODE_ENV": "production"}, listen: ":3000"},
		{name: "production with a door", env: map[string]string{"NODE_ENV": "production", "ECHOTWIN_MQTT_ADDR": ":1883"}, mqttAddr: ":1883", listen: ":3000"},
		{name: "demo off by flag", args: []string{"--demo=false"}, mqttAddr: "127.0.0.1:1883", listen: ":3000"},
		{name: "demo off by --no-demo", args: []string{"--no-demo"}, mqttAddr: "127.0.0.1:1883", listen: ":3000"},
		{name: "demo on in production", env: map[string]string{"NODE_ENV": "production", "ECHOTWIN_DEMO": "true"}, demo: true, listen: ":3000"},
		{name: "door off", env: map[string]string{"ECHOTWIN_MQTT_ADDR": "off"}, demo: true, listen: ":3000"},
		{name: "port and host", env: map[string]string{"PORT": "5000", "HOST": "::1"}, demo: true, mqttAddr: "127.0.0.1:1883", listen: "[::1]:5000"},
		{name: "a flag beats the environment", args: []string{"--port=5001"}, env: map[string]string{"PORT": "5000"}, demo: true, mqttAddr: "127.0.0.1:1883", listen: ":5001"},
	} {
		c, err := readConfig(tt.args, env(tt.env))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if c.demo() != tt.demo || c.mqttAddr() != tt.mqttAddr || c.listenAddr() != tt.listen {
			t.Errorf("%s: demo %v, mqtt %q, listen %q; want %v, %q, %q", tt.name, c.demo(), c.mqttAddr(), c.listenAddr(), tt.demo, tt.mqttAddr, tt.listen)
		}
	}
}

func TestConfigReadsOnlyTheEnvironmentItWasGiven(t *testing.T) {
	t.Setenv("PORT", "9999")
	c, err := readConfig(nil, env(nil))
	if err != nil || c.Port != 3000 {
		t.Errorf("port %d, %v; want 3000", c.Port, err)
	}
}

// S15: a .env file is read, and the real environment wins over it.
func TestS15DotEnv(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(".env", []byte("OPENAI_API_KEY=sk-file\nPORT=4000 # a comment\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(nil, env(map[string]string{"PORT": "4001"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.OpenAIKey != "sk-file" || c.Port != 4001 {
		t.Errorf("key %q, port %d; want sk-file and 4001", c.OpenAIKey, c.Port)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"PORT": "eighty"}, "port"},
		{map[string]string{"NODE_ENV": "prod"}, "production"},
		{map[string]string{"DISABLE_HTTPS_REDIRECT": "maybe"}, "disable-https-redirect"},
		{map[string]string{"ECHOTWIN_DEMO": "maybe"}, "demo"},
		{map[string]string{"ECHOTWIN_MAX_CONNECTIONS": "0"}, "ECHOTWIN_MAX_CONNECTIONS: 0 is not between 1 and 1e+07"},
		{map[string]string{"ECHOTWIN_STALL": "-1s"}, "ECHOTWIN_STALL in seconds: -1 is not between 1 and 3600"},
	} {
		_, err := readConfig(nil, env(tt.env))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an error that names %q", maps.Collect(maps.All(tt.env)), err, tt.want)
		}
	}
}
