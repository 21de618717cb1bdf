use super::*;
use crate::{Field, Inputs, Reason, RequestHeader, Slot};

/// Puts the region with the most weight first, when the header agrees.
struct Heaviest {
    field: Field,
    tenant: RequestHeader,
    reason: Reason,
    heaviest: Option<Slot>,
}

impl Plugin for Heaviest {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        if config == "refuse" {
            return Err("no".to_owned());
        }
        setup.vary(Inputs::FIELDS);
        Ok(Self {
            field: setup.field("X-Heavy"),
            tenant: setup.request_header("X-Tenant"),
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
        match (self.heaviest, request.field(self.field)) {
            (Some(slot), Some("yes")) => Decision::first(slot).because(self.reason),
            (_, Some("no")) => Decision::reject(403)
                .affinity(Affinity::Off)
                .header(self.tenant, "none"),
            _ => Decision::no_opinion(),
        }
    }
}

fn region(name: &str, weight: u32) -> types::Region {
    types::Region {
        name: name.to_owned(),
        country: 0x4742,
        health: types::Health::Healthy,
        location: None,
        round_trip_us: None,
        share_permille: 1000,
        max_requests: None,
        priority: 0,
        weight,
        cost: Some(1.5),
        tags: vec!["eu".to_owned()],
    }
}

fn incoming(fields: &str) -> types::Request {
    types::Request {
        method: types::HttpMethod::Get,
        fields: fields.to_owned(),
        eligible: vec![0, 1],
        estimates: Some(vec![
            types::Estimate {
                round_trip_us: 9,
                in_flight: 1,
            },
            types::Estimate {
                round_trip_us: 0,
                in_flight: 2,
            },
        ]),
        country: 0,
        location: Some(types::Point {
            latitude: 51.5,
            longitude: -0.1,
        }),
        asn: 0,
        net: 0,
        minute: 7,
        roll: 0,
    }
}

#[test]
fn a_plugin_is_configured_then_updated_then_asked() {
    let instance = Instance::<Heaviest>::new();
    let setup = instance.configure("{}").unwrap();
    assert_eq!(
        (setup.needs, setup.vary),
        (types::Inputs::FIELDS, Some(types::Inputs::FIELDS))
    );
    assert_eq!(
        (setup.fields, setup.reasons, setup.request_headers),
        (
            vec!["x-heavy".to_owned()],
            vec!["heavy".to_owned()],
            vec!["x-tenant".to_owned()]
        )
    );

    instance.update(contract::Snapshot {
        generation: 7,
        service: "shop".to_owned(),
        regions: vec![region("a", 1), region("b", 2)],
    });
    let decision = instance.route(incoming("yes"));
    assert_eq!((decision.order, decision.only, decision.reason), (vec![1], false, 1));
    let decision = instance.route(incoming("perhaps"));
    assert_eq!((decision.order, decision.reject, decision.reason), (vec![], None, 0));
    let decision = instance.route(incoming("no"));
    assert_eq!((decision.order, decision.reject), (vec![], Some(403)));
    assert_eq!(decision.affinity, types::Affinity::Off);
    let [header] = &decision.headers[..] else {
        panic!("{:?}", decision.headers)
    };
    assert_eq!((header.header, &*header.value), (0, "none"));
}

#[test]
fn inputs_have_the_contracts_bits() {
    for (ours, theirs) in [
        (Inputs::FIELDS, types::Inputs::FIELDS),
        (Inputs::METHOD, types::Inputs::METHOD),
        (Inputs::COUNTRY, types::Inputs::COUNTRY),
        (Inputs::POINT, types::Inputs::LOCATION),
        (Inputs::ASN, types::Inputs::ASN),
        (Inputs::NET, types::Inputs::NET),
        (Inputs::MINUTE, types::Inputs::MINUTE),
        (Inputs::ROUND_TRIPS, types::Inputs::ROUND_TRIPS),
        (Inputs::LOAD, types::Inputs::LOAD),
    ] {
        assert_eq!(inputs(ours), theirs);
    }
}

#[test]
fn a_refused_configuration_says_why() {
    assert_eq!(Instance::<Heaviest>::new().configure("refuse").unwrap_err(), "no");
}

#[test]
fn without_a_plugin_there_is_no_opinion() {
    let instance = Instance::<Heaviest>::new();
    instance.update(contract::Snapshot {
        generation: 1,
        service: "shop".to_owned(),
        regions: vec![],
    });
    assert_eq!(instance.route(incoming("yes")).order, [0_u8; 0]);
}

#[test]
fn members_of_a_request_arrive() {
    let request = request(incoming("a\n\nc"));
    assert_eq!(request.point, Point::new(51.5, -0.1));
    let estimate = |round_trip_us, in_flight| Estimate {
        round_trip_us,
        in_flight,
    };
    assert_eq!(
        request.estimates().collect::<Vec<_>>(),
        [(Slot(0), estimate(Some(9), 1)), (Slot(1), estimate(None, 2))]
    );
    assert_eq!(request.minute, 7);
    assert_eq!(
        [0, 1, 2, 3].map(|line| request.field(Field(line))),
        [Some("a"), None, Some("c"), None]
    );
}
