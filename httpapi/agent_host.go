package httpapi

import (
	"net/http"
	"os"

	"consul.internal/httpapi/machine"
)

func (s agentAPI) host(http.ResponseWriter, *http.Request) (any, error) {
	return machine.Look(os.DirFS("/"), "/"), nil
}
