//! The program from outside: real clients before it, a fake provider behind it, crashes and full disks under it.
//!
//! One theme per file, one test program for all of them: it links once.

#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod attack;
mod auth;
mod brevo;
mod chaos;
mod chunks;
mod cli_flow;
mod clients;
mod crash;
mod described;
mod direct;
mod disk_full;
mod events;
mod failover;
mod fake_provider;
mod http_api;
mod limits;
mod live;
mod login;
mod mailgun;
mod monitoring;
mod moving;
mod operating;
mod options;
mod outcomes;
mod postmark;
mod real_clients;
mod reload;
mod routes;
mod shown;
mod smarthost;
mod statistics;
mod submit;
mod suppressions;
mod systemd;
mod webhook;
