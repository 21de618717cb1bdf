//! The end of a request: its record becomes counts, a span and a line of the access log.

use super::line::{Line, Served};
use super::{Admitted, Call, Decided, Recorder, RequestData, RequestRecord, TableView, span, text};
use crate::rollout::VersionVitals;
use crate::telemetry::metrics::{Retry, ServiceVitals, Stage};
use crate::vitals::{Reason, RequestOutcome};
use portolan_core::decision::RankedBy;
use portolan_core::grpc::GrpcStatus;
use std::time::{Duration, SystemTime};

impl<L: TableView> Drop for RequestRecord<L> {
    fn drop(&mut self) {
        let Self { recorder, data, table } = self;
        // A record is dropped early when the client has left, or by a panic.
        if data.outcome.is_none() && std::thread::panicking() {
            data.outcome = Some(RequestOutcome::Internal);
            data.reason = Some(Reason::Internal);
        }
        let outcome = *data.outcome.get_or_insert(RequestOutcome::ClientGone);
        if let Some(reason) = data.reason {
            recorder.rejections.count(recorder.worker, reason);
        }
        let total = data.begun.elapsed();
        if let (Some(Admitted { route }), Some(table)) = (data.admitted, &table) {
            table.leave(recorder.worker, route);
        }
        let served = data.routed.zip(table.as_ref());
        let served = served.and_then(|(id, table)| Some((id, table, table.service(id)?)));
        match &served {
            Some((id, table, (_, vitals))) => {
                if let Some(decided) = data.decided {
                    recorder.count(data, &decided, outcome, total, vitals);
                    if let Some(took) = decided.plugin
                        && let Some(version) = table.plugin_version(*id, data.client.addr)
                    {
                        recorder.count_version(data, (decided.cause.by, took), outcome, version);
                    }
                }
                let gateway = data.answered_by.and_then(|slot| table.gateway(*id, slot));
                let gateway = gateway.filter(|_| outcome.is_of_gateway());
                match gateway {
                    Some(gateway) => {
                        gateway.finished(recorder.worker, outcome);
                        if let Some(decided) = &data.decided {
                            let by = decided.cause.by;
                            recorder.sampler.answered(data.begun, gateway, data.point, by);
                        }
                    }
                    None => vitals.finished(recorder.worker, outcome),
                }
                data.call_ended(outcome, |status| match gateway {
                    Some(gateway) => gateway.called(recorder.worker, status),
                    None => vitals.called(recorder.worker, status),
                });
            }
            None => {
                recorder.unrouted.finished(recorder.worker, outcome);
                data.call_ended(outcome, |status| recorder.unrouted.called(recorder.worker, status));
            }
        }
        recorder.decisions.ended(data, (outcome, total), table.as_ref());
        if recorder.log.is_none() && data.span.is_none() {
            return;
        }
        let reason = data.decided.and_then(|decided| decided.cause.by.plugin_reason());
        let service = served.map(|(id, table, (service, _))| Served {
            service,
            plugin_reason: reason.and_then(|reason| table.plugin_reason(id, data.client.addr, reason)),
        });
        if let Some(span) = data.span.take() {
            recorder
                .spans
                .send(span::finished(data, *span, (outcome, total), service));
        }
        if let Some(log) = &recorder.log {
            let is_failure = outcome.is_failure() || data.status.is_some_and(|status| status.is_server_error());
            if let Some(weight) = log.admits(is_failure) {
                let line = Line::new(
                    data,
                    outcome,
                    total,
                    service,
                    (SystemTime::now(), &recorder.clock),
                    weight,
                );
                log.append(|buffer| match log.template() {
                    None => line.write_json(buffer),
                    Some(template) => text::write(&line, template, buffer),
                });
            }
        }
    }
}

impl RequestData {
    /// Counts the status of a call of gRPC, or that its gateway gave it none. What its client did not wait for has none.
    fn call_ended(&self, outcome: RequestOutcome, count: impl FnOnce(Option<GrpcStatus>)) {
        if let Some(Call { status }) = self.call
            && (status.is_some() || outcome != RequestOutcome::ClientGone)
        {
            count(status);
        }
    }
}

impl Recorder {
    fn count(
        &self,
        data: &mut RequestData,
        decided: &Decided,
        outcome: RequestOutcome,
        total: Duration,
        vitals: &ServiceVitals,
    ) {
        let worker = self.worker;
        vitals.decided(worker, decided.cause.by);
        if let Some(session) = decided.cause.session {
            vitals.session(worker, session);
        }
        vitals.took(worker, Stage::Identify, decided.identify);
        vitals.took(worker, Stage::Decide, decided.took);
        if let Some(plugin) = decided.plugin {
            vitals.took(worker, Stage::Plugin, plugin);
        }
        if let Some(first_byte) = data.first_byte {
            vitals.took(worker, Stage::FirstByte, first_byte);
        }
        // A client that leaves early would make the service look fast, a tunnel slow.
        if outcome != RequestOutcome::ClientGone && data.tunnel.is_none() {
            vitals.took(worker, Stage::Total, total);
            vitals.took(worker, Stage::Overhead, data.waits.overhead(total));
        }
        for _ in data.attempts.iter().skip(1) {
            vitals.retried(worker, Retry::Attempted);
        }
        if let Some(reason) = data.withheld {
            vitals.retried(worker, Retry::Denied(reason));
        }
        vitals.carried(worker, data.received, data.sent);
    }

    /// Counts for a plugin version how its call went, and what became of the request.
    #[cold]
    fn count_version(
        &self,
        data: &RequestData,
        (by, took): (RankedBy, Duration),
        outcome: RequestOutcome,
        version: &VersionVitals,
    ) {
        version.called(self.worker, by, took);
        // A request that another region answered in the end was sent to a wrong one first.
        let is_first_failed = data.attempts.first().is_some_and(|first| first.evidence.is_failure());
        if is_first_failed || outcome != RequestOutcome::ClientGone {
            version.ended(self.worker, is_first_failed || outcome.is_failure());
        }
    }
}
