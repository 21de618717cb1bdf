//! The program as its users meet it: over real sockets, with real plugins and real databases.

mod access;
mod admin;
mod azure;
mod dependencies;
mod dns;
mod drain;
mod endpoints;
mod failover;
mod front_door_demo;
mod front_door_fleet;
mod front_door_probe;
mod front_door_publish;
mod fuzz;
mod geo;
mod harness;
mod http;
mod identity;
mod listeners;
mod plugins;
mod proxy_protocol;
mod reload;
mod restart;
mod routing;
mod service_tags;
mod tidy;
mod tls;
