package rpc

import "consul.internal/view"

// ViewFollow is how an agent follows the names of a datacenter: what it asks for
// goes one way, what is known of it and every change comes the other.
var ViewFollow = Stream[view.Ask, view.Event]{Name: "View.Follow"}
