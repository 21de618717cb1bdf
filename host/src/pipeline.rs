//! The life of a request, in order.

use crate::message;
use crate::record::RequestRecord;
use crate::respond::{self, RequestError};
use crate::server::Downstream;
use crate::table::{Routed, RoutingTable};
use crate::upstream::{self, Body};
use crate::worker::Worker;
use http::{Request, Response};
use hyper::body::Incoming;
use portolan_core::candidates;
use portolan_core::decision::{Decision, RankedBy};
use portolan_core::geo::Location;
use portolan_core::identity::{self, ClientIdentity};
use portolan_core::plan::AttemptPlan;
use portolan_core::rank;
use std::rc::Rc;
use std::time::Instant;

/// Answers a request: identify, locate, route, candidates, rank, plan, forward, respond, record.
pub async fn handle(worker: Rc<Worker>, downstream: Downstream, request: Request<Incoming>) -> Response<Body> {
    let mut record = RequestRecord::begin(&worker, &downstream, &request);
    match answer(&worker, &downstream, request, &mut record).await {
        Ok(response) => record.deliver(response),
        Err(error) => record.refuse(respond::refusal(&error), &error),
    }
}
