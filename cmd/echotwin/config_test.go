package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
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
		{map[string]string{"ECHOTWIN_MAX_CONNECTIONS": "0"}, "ECHOTWIN_MAX_CONNECTIONS: 0 is not between 1 and 10000000"},
		{map[string]string{"ECHOTWIN_MAX_CONNECTIONS": "many"}, "--max-connections (ECHOTWIN_MAX_CONNECTIONS): "},
		{map[string]string{"ECHOTWIN_RAW_AGE": "7 days"}, "--raw-age (ECHOTWIN_RAW_AGE): "},
		{map[string]string{"PORT": "99999"}, "PORT: 99999 is not between 0 and 65535"},
		{map[string]string{"DRAIN": "-5s"}, "DRAIN in seconds: -5 is not between 0 and 3600"},
		{map[string]string{"ECHOTWIN_GPT_PER_MINUTE": "-1"}, "ECHOTWIN_GPT_PER_MINUTE: -1 is not between 1 and 1000000"},
		{map[string]string{"ECHOTWIN_GPT_TOKENS_A_DAY": "-5"}, "ECHOTWIN_GPT_TOKENS_A_DAY: -5 is not between"},
		{map[string]string{"ECHOTWIN_ORIGINS": "https://a.example,panel.example.com"}, `--origins (ECHOTWIN_ORIGINS): "panel.example.com" is no origin`},
		{map[string]string{"ECHOTWIN_ORIGINS": "https://panel.example.com/app"}, `"https://panel.example.com/app" is no origin`},
		{map[string]string{"MQTT_URL": "http://broker"}, "--mqtt-url (MQTT_URL) is no address"},
		{map[string]string{"MQTT_URL": "broker:1883"}, "such as mqtt://user:password@broker:1883"},
		{map[string]string{"OPENAI_BASE_URL": "localhost:11434/v1"}, "--openai-base-url (OPENAI_BASE_URL) is no address"},
		{map[string]string{"OPENAI_BASE_URL": "http://[::1"}, "such as http://localhost:11434/v1"},
		{map[string]string{"OPENAI_FALLBACK_BASE_URL": "https://"}, "--fallback-base-url (OPENAI_FALLBACK_BASE_URL) is no address"},
		{map[string]string{"ECHOTWIN_STALL": "-1s"}, "ECHOTWIN_STALL in seconds: -1 is not between 1 and 3600"},
	} {
		_, err := readConfig(nil, env(tt.env))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want an error that names %q", maps.Collect(maps.All(tt.env)), err, tt.want)
		}
	}
}

// An address may hold a password, which is no matter for a log.
func TestConfigKeepsPasswordsToItself(t *testing.T) {
	_, err := readConfig(nil, env(map[string]string{"MQTT_URL": "http://plant:geheim@broker"}))
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

func TestConfigTakesAddressesAsPeopleWriteThem(t *testing.T) {
	for _, m := range []map[string]string{
		{"ECHOTWIN_ORIGINS": "https://panel.example.com,http://10.0.0.5:8080/,HTTPS://Panel.example.com"},
		{"MQTT_URL": "mqtt://user:password@broker:1883?clientid=one"}, {"MQTT_URL": "mqtts://broker"}, {"MQTT_URL": "tcp://127.0.0.1:1883"}, {"MQTT_URL": "wss://broker/mqtt"},
		{"OPENAI_BASE_URL": "http://localhost:11434/v1"}, {"OPENAI_BASE_URL": "https://api.openai.com/v1/"}, {"DRAIN": "0s"},
	} {
		if _, err := readConfig(nil, env(m)); err != nil {
			t.Errorf("%v: %v", m, err)
		}
	}
}

// Rotation renames what it finds. A folder named by mistake was moved away
// with all that was in it, and a log that could not be written stayed unsaid.
func TestLogFileIsAFileOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "precious")
	if err := os.WriteFile(kept, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                          "is a folder; want the name of a file in it",
		os.DevNull:                   "no regular file",
		filepath.Join(kept, "x.log"): "cannot be written to",
	} {
		_, _, err := newLogger(&config{LogFile: path, LogLevel: "info"})
		if err == nil || !strings.Contains(err.Error(), "--log-file (ECHOTWIN_LOG_FILE)") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that names the setting and says %q", path, err, want)
		}
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what was in the folder: %v", err)
	}
	path := filepath.Join(dir, "new", "echotwin.log")
	log, done, err := newLogger(&config{LogFile: path, LogLevel: "info"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("written")
	done.Close()
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "written") {
		t.Errorf("the file has %q, %v", b, err)
	}
}

// "echotwin user add ola operator" was told that operator is unexpected, and its
// help was sixty flags of the server before the two of its own.
func TestACommandThatIsWrittenWronglyIsHelped(t *testing.T) {
	for args, want := range map[string]string{
		"user":                  "echotwin user --help says what it takes",
		"user add ola operator": "unexpected argument operator; echotwin user add --help says what it takes",
		"token add x --scope=a": "echotwin token add --help says what it takes",
	} {
		if _, err := readCommand(strings.Fields(args), env(nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
	stdout := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	_, err = readCommand([]string{"user", "add", "--help"}, env(nil))
	os.Stdout = stdout
	w.Close()
	help, _ := io.ReadAll(r)
	if err != errHelp || !strings.Contains(string(help), "--role") || strings.Contains(string(help), "--openai-model") {
		t.Errorf("got %v and\n%s", err, help)
	}
}
