package httpapi

import (
	"net/http"

	"consul.internal/httpapi/edge"
)

// aclOff is the known text for what only makes sense with access control.
const aclOff = "ACL support disabled"

// token answers /v1/agent/token/: tokens mean nothing while ACLs are off.
func (s agentAPI) token(http.ResponseWriter, *http.Request) (any, error) {
	return nil, edge.Failed(http.StatusUnauthorized, aclOff)
}
