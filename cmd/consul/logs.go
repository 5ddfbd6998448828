package main

import (
	"consul.internal/cmd/consul/agentlog"
	"consul.internal/configs"
	"consul.internal/internal/logx"
)

func (a *app) openLog(c configs.Log) (*logx.Logger, func() error, error) {
	return agentlog.Open(a.out, c)
}
