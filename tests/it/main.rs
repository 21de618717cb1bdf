//! The program as its users meet it: over real sockets, with real plugins and real databases.

mod admin;
mod drain;
mod failover;
mod geo;
mod identity;
mod plugins;
mod reload;
mod restart;
mod routing;
mod tidy;
