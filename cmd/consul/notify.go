package main

import (
	"fmt"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// States of the sd_notify protocol.
const (
	stateReady    = daemon.SdNotifyReady
	stateStopping = daemon.SdNotifyStopping
)

// systemdNotify tells the service manager a state; without NOTIFY_SOCKET it does
// nothing. An error is nobody's to act on: the agent runs either way.
func systemdNotify(state string) { _, _ = daemon.SdNotify(false, state) }

// stateReloading carries the monotonic time that systemd compares with READY=1.
func stateReloading() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return daemon.SdNotifyReloading
	}
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, ts.Nano()/1000)
}
