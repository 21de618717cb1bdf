use super::*;
use crate::{Header, Inputs, Reason, Slot};

/// Puts the region with the most weight first, when the header agrees.
struct Heaviest {
    header: Header,
    reason: Reason,
    heaviest: Option<Slot>,
}

impl Plugin for Heaviest {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        if config == "refuse" {
            return Err("no".to_owned());
        }
        setup.vary(Inputs::HEADERS);
        Ok(Self {
            header: setup.header("X-Heavy"),
            reason: setup.reason("heavy"),
            heaviest: None,
        })
    }

    fn update(&mut self, regions: &Regions) {
        self.heaviest = regions
            .iter()
            .max_by_key(|(_, region)| region.weight)
            .map(|(slot, _)| slot);
    }

    fn route(&self, request: &Request, regions: &Regions) -> Decision {
        assert_eq!(regions.service, "shop");
        match (self.heaviest, request.header(self.header)) {
            (Some(slot), Some("yes")) => Decision::first(slot).because(self.reason),
            _ => Decision::no_opinion(),
        }
    }
}

fn region(name: &str, weight: u32) -> types::Region {
    types::Region {
        name: name.to_owned(),
        country: 0x4742,
        state: 1,
        latitude: f32::NAN,
        longitude: f32::NAN,
        rtt_us: 0,
        share_permille: 1000,
        max_requests: 0,
        priority: 0,
        weight,
    }
}

fn incoming(fields: &str) -> types::Request {
    types::Request {
        method: types::HttpMethod::Get,
        protocol: types::Protocol::Http1,
        host: String::new(),
        path: String::new(),
        fields: fields.to_owned(),
        country: 0,
        asn: 0,
        latitude: 51.5,
        longitude: -0.1,
        net: 0,
        roll: 0,
        native_first4: 0xffff_0100,
        native_next4: u32::MAX,
    }
}

#[test]
fn a_plugin_is_configured_then_updated_then_asked() {
    let seat = Seat::<Heaviest>::new();
    let setup = seat.configure("{}").unwrap();
    assert_eq!((setup.needs, setup.vary), (1 << 4, Some(1 << 4)));
    assert_eq!(
        (setup.headers, setup.reasons),
        (vec!["x-heavy".to_owned()], vec!["heavy".to_owned()])
    );

    seat.update(contract::Snapshot {
        generation: 7,
        service: "shop".to_owned(),
        regions: vec![region("a", 1), region("b", 2)],
    });
    let decision = seat.route(incoming("yes"));
    assert_eq!(
        (decision.first4, decision.next4, decision.reason),
        (0xffff_ff01, u32::MAX, 1)
    );
    let decision = seat.route(incoming("no"));
    assert_eq!(
        (decision.first4, decision.next4, decision.reason),
        (u32::MAX, u32::MAX, 0)
    );
}

#[test]
fn a_refused_configuration_says_why() {
    assert_eq!(Seat::<Heaviest>::new().configure("refuse").unwrap_err(), "no");
}

#[test]
fn without_a_plugin_there_is_no_opinion() {
    let seat = Seat::<Heaviest>::new();
    seat.update(contract::Snapshot {
        generation: 1,
        service: "shop".to_owned(),
        regions: vec![],
    });
    assert_eq!(seat.route(incoming("yes")).first4, u32::MAX);
}

#[test]
fn members_of_a_request_arrive() {
    let request = request(incoming("a\n\nc"));
    assert_eq!(request.point, Point::new(51.5, -0.1));
    assert_eq!(request.offered().collect::<Vec<_>>(), [Slot(0), Slot(1)]);
    assert_eq!(
        [0, 1, 2, 3].map(|line| request.header(Header(line))),
        [Some("a"), None, Some("c"), None]
    );
}
