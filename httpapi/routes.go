package httpapi

import (
	"net/http"
	"net/http/pprof"

	"consul.internal/catalog"
)

// routes is the one table of what this edge answers.
func (s *Server) routes() []route {
	agt, cat, hlt, sts := agentAPI{s}, catalogAPI{s}, healthAPI{s}, statusAPI{s}
	opr, snp, coo := operatorAPI{s}, snapshotAPI{s}, coordinateAPI{s}
	queries := queryAPI{s}
	return []route{
		{"/v1/agent/check/deregister/", put, agt.checkDeregister},
		{"/v1/agent/check/fail/", put, agt.checkTTL(catalog.Critical)},
		{"/v1/agent/check/pass/", put, agt.checkTTL(catalog.Passing)},
		{"/v1/agent/check/register", put, agt.checkRegister},
		{"/v1/agent/check/update/", put, agt.checkUpdate},
		{"/v1/agent/check/warn/", put, agt.checkTTL(catalog.Warning)},
		{"/v1/agent/checks", get, agt.checks},
		{"/v1/agent/force-leave/", put, agt.forceLeave},
		{"/v1/agent/health/service/id/", get, agt.healthByID},
		{"/v1/agent/health/service/name/", get, agt.healthByName},
		{"/v1/agent/host", get, agt.host},
		{"/v1/agent/join/", put, agt.join},
		{"/v1/agent/leave", put, agt.leave},
		{"/v1/agent/maintenance", put, agt.maintenance},
		{"/v1/agent/members", get, agt.members},
		{"/v1/agent/metrics", get, agt.metrics},
		{"/v1/agent/metrics/stream", get, agt.metricsStream},
		{"/v1/agent/monitor", get, agt.monitor},
		{"/v1/agent/reload", put, agt.reload},
		{"/v1/agent/self", get, agt.self},
		{"/v1/agent/service/", get, agt.serviceRead},
		{"/v1/agent/service/deregister/", put, agt.serviceDeregister},
		{"/v1/agent/service/maintenance/", put, agt.serviceMaintenance},
		{"/v1/agent/service/register", put, agt.serviceRegister},
		{"/v1/agent/services", get, agt.services},
		{"/v1/agent/token/", put, agt.token},
		{"/v1/agent/version", get, agt.version},
		{"/v1/catalog/connect/", get, cat.connect},
		{"/v1/catalog/datacenters", get, cat.datacenters},
		{"/v1/catalog/deregister", put, cat.deregister},
		{"/v1/catalog/gateway-services/", get, cat.gatewayServices},
		{"/v1/catalog/node-services/", get, cat.nodeServices},
		{"/v1/catalog/node/", get, cat.node},
		{"/v1/catalog/nodes", get, cat.nodes},
		{"/v1/catalog/register", put, cat.register},
		{"/v1/catalog/service/", get, cat.service},
		{"/v1/catalog/services", get, cat.services},
		{"/v1/coordinate/datacenters", get, coo.datacenters},
		{"/v1/coordinate/node/", get, coo.node},
		{"/v1/coordinate/nodes", get, coo.nodes},
		{"/v1/coordinate/update", put, coo.update},
		{"/v1/health/checks/", get, hlt.checks},
		{"/v1/health/connect/", get, hlt.connect},
		{"/v1/health/ingress/", get, hlt.ingress},
		{"/v1/health/node/", get, hlt.node},
		{"/v1/health/service/", get, hlt.service},
		{"/v1/health/state/", get, hlt.state},
		{"/v1/operator/autopilot/configuration", getPut, opr.autopilotConfiguration},
		{"/v1/operator/autopilot/health", get, opr.autopilotHealth},
		{"/v1/operator/autopilot/state", get, opr.autopilotState},
		{"/v1/operator/federation/forget/", put, opr.forgetDatacenter},
		{"/v1/operator/keyring", []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, opr.keyring},
		{"/v1/operator/raft/configuration", get, opr.raftConfiguration},
		{"/v1/operator/raft/peer", []string{http.MethodDelete}, opr.raftPeer},
		{"/v1/operator/raft/transfer-leader", []string{http.MethodPost}, opr.raftTransferLeader},
		{"/v1/operator/usage", get, opr.usage},
		{"/v1/query", []string{http.MethodGet, http.MethodPost}, queries.general},
		{"/v1/query/", []string{http.MethodGet, http.MethodPut, http.MethodDelete}, queries.specific},
		{"/v1/query/{item}/execute", get, queries.execute},
		{"/v1/query/{item}/explain", get, queries.explain},
		{snapshotPath, getPut, snp.serve},
		{"/v1/status/leader", get, sts.leader},
		{"/v1/status/peers", get, sts.peers},
	}
}

// debugRoutes open the process to a debugger, where the configuration says so.
func (s *Server) debugRoutes(mux *http.ServeMux) {
	if !s.config().EnableDebug {
		return
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}
