// Package machine tells what can be seen of the machine that the process runs on:
// memory, processors, system and disk, as `/v1/agent/host` shows them. It changes
// nothing and keeps nothing. Of the process itself it shows the profiles.
package machine
