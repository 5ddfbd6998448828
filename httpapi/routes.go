package httpapi

import (
	"net/http"
	"slices"

	"consul.internal/catalog"
	"consul.internal/httpapi/acl"
	"consul.internal/httpapi/charts"
	"consul.internal/httpapi/config"
	"consul.internal/httpapi/edge"
	"consul.internal/httpapi/inventory"
	"consul.internal/httpapi/keys"
	"consul.internal/httpapi/machine"
	"consul.internal/httpapi/names"
)

// routes is the one table of what this edge answers.
func (s *Server) routes() []edge.Route {
	agt, cat, hlt, sts := agentAPI{s}, catalogAPI{s}, healthAPI{s}, statusAPI{s}
	opr, snp, coo := operatorAPI{s}, snapshotAPI{s}, coordinateAPI{s}
	queries, grd := queryAPI{s}, agentGuard{s}
	return slices.Concat([]edge.Route{
		edge.Put("/v1/agent/check/deregister/", agt.checkDeregister),
		edge.Put("/v1/agent/check/fail/", agt.checkTTL(catalog.Critical)),
		edge.Put("/v1/agent/check/pass/", agt.checkTTL(catalog.Passing)),
		edge.Put("/v1/agent/check/register", agt.checkRegister),
		edge.Put("/v1/agent/check/update/", agt.checkUpdate),
		edge.Put("/v1/agent/check/warn/", agt.checkTTL(catalog.Warning)),
		edge.Get("/v1/agent/checks", agt.checks),
		edge.Put("/v1/agent/force-leave/", grd.operatorWrite(agt.forceLeave)),
		edge.Get("/v1/agent/health/service/id/", agt.healthByID),
		edge.Get("/v1/agent/health/service/name/", agt.healthByName),
		edge.Get("/v1/agent/host", grd.operatorRead(agt.host)),
		edge.Put("/v1/agent/join/", grd.agentWrite(agt.join)),
		edge.Put("/v1/agent/leave", grd.agentWrite(agt.leave)),
		edge.Put("/v1/agent/maintenance", grd.nodeWrite(agt.maintenance)),
		edge.Get("/v1/agent/members", agt.members),
		edge.Get("/v1/agent/metrics", grd.agentRead(agt.metrics)),
		edge.Get("/v1/agent/metrics/stream", grd.agentRead(agt.metricsStream)),
		edge.Get("/v1/agent/monitor", grd.agentRead(agt.monitor)),
		edge.Put("/v1/agent/reload", grd.agentWrite(agt.reload)),
		edge.Get("/v1/agent/self", grd.agentRead(agt.self)),
		edge.Get("/v1/agent/service/", agt.serviceRead),
		edge.Put("/v1/agent/service/deregister/", agt.serviceDeregister),
		edge.Put("/v1/agent/service/maintenance/", agt.serviceMaintenance),
		edge.Put("/v1/agent/service/register", agt.serviceRegister),
		edge.Get("/v1/agent/services", agt.services),
		edge.Put("/v1/agent/token/", agt.token),
		edge.Get("/v1/agent/version", agt.version),
		edge.Get("/v1/catalog/connect/", cat.connect),
		edge.Get("/v1/catalog/datacenters", cat.datacenters),
		edge.Put("/v1/catalog/deregister", cat.deregister),
		edge.Get("/v1/catalog/gateway-services/", cat.gatewayServices),
		edge.Get("/v1/catalog/node-services/", cat.nodeServices),
		edge.Get("/v1/catalog/node/", cat.node),
		edge.Get("/v1/catalog/nodes", cat.nodes),
		edge.Put("/v1/catalog/register", cat.register),
		edge.Get("/v1/catalog/service/", cat.service),
		edge.Get("/v1/catalog/services", cat.services),
		edge.Get("/v1/coordinate/datacenters", coo.datacenters),
		edge.Get("/v1/coordinate/node/", coo.node),
		edge.Get("/v1/coordinate/nodes", coo.nodes),
		edge.Put("/v1/coordinate/update", coo.update),
		edge.Get("/v1/health/checks/", hlt.checks),
		edge.Get("/v1/health/connect/", hlt.connect),
		edge.Get("/v1/health/ingress/", hlt.ingress),
		edge.Get("/v1/health/node/", hlt.node),
		edge.Get("/v1/health/service/", hlt.service),
		edge.Get("/v1/health/state/", hlt.state),
		edge.GetPut("/v1/operator/autopilot/configuration", opr.autopilotConfiguration),
		edge.Get("/v1/operator/autopilot/health", opr.autopilotHealth),
		edge.Get("/v1/operator/autopilot/state", opr.autopilotState),
		edge.Put("/v1/operator/federation/forget/", opr.forgetDatacenter),
		edge.On("/v1/operator/keyring", opr.keyring, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete),
		edge.Put("/v1/operator/raft/compare", opr.raftCompare),
		edge.Get("/v1/operator/raft/configuration", opr.raftConfiguration),
		edge.On("/v1/operator/raft/peer", opr.raftPeer, http.MethodDelete),
		edge.On("/v1/operator/raft/transfer-leader", opr.raftTransferLeader, http.MethodPost),
		edge.Get("/v1/operator/usage", opr.usage),
		edge.Get("/v1/internal/dns/explain", grd.agentRead(names.Explain(s.Base, s.deps.DNS))),
		edge.Get("/v1/internal/dns/explain/", grd.agentRead(names.Explain(s.Base, s.deps.DNS))),
		edge.Get("/v1/internal/dns/top", grd.agentRead(names.Top(s.deps.DNS))),
		edge.Get("/v1/internal/dns/top/", grd.agentRead(names.Top(s.deps.DNS))),
		edge.On("/v1/query", queries.general, http.MethodGet, http.MethodPost),
		edge.On("/v1/query/", queries.specific, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.Get("/v1/query/{item}/execute", queries.execute),
		edge.Get("/v1/query/{item}/explain", queries.explain),
		edge.GetPut(snapshotPath, snp.serve),
		edge.Get("/v1/status/leader", sts.leader),
		edge.Get("/v1/status/peers", sts.peers),
	}, acl.Routes(s.Base), charts.Routes(s.Base, s.config().Metrics), config.Routes(s.Base), inventory.Routes(s.Base, grd.operatorRead), keys.Routes(s.Base, s.deps.Events), names.Routes(s.deps.DNS))
}

// Routes is all that this edge answers.
func (s *Server) Routes() []edge.Route { return slices.Concat(s.routes(), s.debugRoutes(), s.pages()) }

// debugRoutes open the process to a debugger, where the configuration says so. With
// access control they are always there, for operators alone.
func (s *Server) debugRoutes() []edge.Route {
	if cfg := s.config(); !cfg.EnableDebug && !cfg.ACLs {
		return nil
	}
	return machine.Profiles(agentGuard{s}.operatorRead)
}
