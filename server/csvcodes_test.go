package server

import (
	"encoding/csv"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"echotwin/realtime"
)

// In a table the code stands beside each text that has one, so that who filters a
// table need not know the sentences.
func TestTablesHaveTheCodesBesideTheTexts(t *testing.T) {
	commands := httptest.NewRecorder()
	err := commandsCSV(echo.New().NewContext(httptest.NewRequest("GET", "/", nil), commands), []realtime.Invoked{{
		ID: "01M8", Ground: realtime.Ground{Evidence: "PUBACK", EvidenceCode: realtime.BecausePuback},
		Trouble: realtime.Trouble{Error: "speed 999 is above the maximum 100", ErrorCode: realtime.CodeOutOfRange, ErrorReason: "above"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	alarms := httptest.NewRecorder()
	err = alarmsCSV(echo.New().NewContext(httptest.NewRequest("GET", "/", nil), alarms), []realtime.AlarmState{{
		ID: "a1", Message: "Speed 5 is above 4", MessageCode: "high", Reason: "its rule was removed", ReasonCode: realtime.ClearedRule,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		table *httptest.ResponseRecorder
		want  map[string]string
	}{
		{commands, map[string]string{"evidence": "PUBACK", "evidenceCode": "puback", "error": "speed 999 is above the maximum 100", "errorCode": "out_of_range", "errorReason": "above", "cmd": "01M8"}},
		{alarms, map[string]string{"message": "Speed 5 is above 4", "messageCode": "high", "why": "its rule was removed", "whyCode": "rule_removed", "id": "a1"}},
	} {
		rows, err := csv.NewReader(tt.table.Body).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
			t.Fatalf("got %v, %v", rows, err)
		}
		got := map[string]string{}
		for i, name := range rows[0] {
			got[name] = rows[1][i]
		}
		for name, want := range tt.want {
			if got[name] != want {
				t.Errorf("%s is %q, want %q in %v", name, got[name], want, rows)
			}
		}
	}
}
