// Package config answers /v1/config: config entries, written, read and deleted. And
// it shows an agent's proxies as these entries have them.
//
// What an entry may say is the business of configentry, and who may write it that
// of the servers; here are only requests and answers.
package config
