package configs

// aclOf is how access is controlled. A secondary datacenter that copies tokens needs
// one to ask the primary with.
func aclOf(r *resolver) ACL {
	f := &r.f.ACL
	a := ACL{
		Enabled: value(f.Enabled), DefaultPolicy: value(f.DefaultPolicy), DownPolicy: value(f.DownPolicy),
		TokenTTL: value(f.TokenTTL), PolicyTTL: value(f.PolicyTTL), RoleTTL: value(f.RoleTTL),
		KeyListPolicy: value(f.EnableKeyListPolicy), TokenPersistence: value(f.EnableTokenPersistence),
		TokenReplication: value(f.EnableTokenReplication),
		Tokens: Tokens{
			InitialManagement: value(f.Tokens.InitialManagement), AgentRecovery: value(f.Tokens.AgentRecovery),
			Agent: value(f.Tokens.Agent), Default: value(f.Tokens.Default), DNS: value(f.Tokens.DNS),
			Replication: value(f.Tokens.Replication), ConfigFileService: value(f.Tokens.ConfigFileService),
		},
	}
	if t := a.Tokens; !a.Enabled && t != (Tokens{}) {
		r.warnf("acl.tokens", "acl.tokens has no effect while acl.enabled is not true")
	}
	if a.Enabled && a.TokenPersistence && value(r.f.DataDir) == "" && !r.dev {
		r.errorf("acl.enable_token_persistence", "acl.enable_token_persistence needs a data_dir")
	}
	return a
}
