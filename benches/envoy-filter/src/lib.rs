//! The job of Portolan's plugin `nearest` as a filter for Envoy: the region that is nearest to the client's country, which Envoy's own geo-IP
//! filter has put into `x-country`, becomes the field `x-region`, which routes are chosen by.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

/// A place on Earth: latitude and longitude in degrees.
type Place = (f64, f64);

const REGIONS: [(&str, Place); 3] = [("europe", (52.3, 4.8)), ("america", (36.7, -78.4)), ("asia", (1.3, 103.8))];

/// Countries with the most clients, and about where their people live; sorted.
const COUNTRIES: [(&str, Place); 24] = [
    ("AU", (-33.0, 147.0)),
    ("BR", (-20.0, -46.0)),
    ("CA", (45.0, -77.0)),
    ("CN", (33.0, 113.0)),
    ("DE", (51.0, 10.0)),
    ("EG", (30.0, 31.0)),
    ("ES", (40.0, -3.0)),
    ("FR", (47.0, 2.5)),
    ("GB", (52.5, -1.5)),
    ("ID", (-7.0, 110.0)),
    ("IN", (22.0, 79.0)),
    ("IT", (43.0, 12.0)),
    ("JP", (36.0, 138.0)),
    ("KR", (37.0, 127.5)),
    ("MX", (20.0, -100.0)),
    ("NG", (8.0, 6.0)),
    ("NL", (52.0, 5.0)),
    ("PL", (52.0, 19.5)),
    ("RU", (55.0, 45.0)),
    ("SG", (1.3, 103.8)),
    ("TR", (40.0, 32.0)),
    ("UA", (49.0, 31.0)),
    ("US", (38.0, -92.0)),
    ("ZA", (-28.0, 27.0)),
];

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request))
    }
}

struct Request;

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let country = self.get_http_request_header("x-country");
        let place = country.and_then(|code| {
            let index = COUNTRIES.binary_search_by(|(country, _)| (*country).cmp(code.as_str())).ok()?;
            Some(COUNTRIES[index].1)
        });
        self.set_http_request_header("x-region", Some(nearest(place.unwrap_or(REGIONS[0].1))));
        Action::Continue
    }
}

fn nearest(place: Place) -> &'static str {
    let by_distance = REGIONS.iter().min_by(|one, other| haversine(place, one.1).total_cmp(&haversine(place, other.1)));
    by_distance.map_or(REGIONS[0].0, |(name, _)| name)
}

/// The haversine of the angle between two places: it grows with their distance.
fn haversine(from: Place, to: Place) -> f64 {
    let half = |one: f64, other: f64| ((other - one).to_radians() / 2.0).sin().powi(2);
    half(from.0, to.0) + from.0.to_radians().cos() * to.0.to_radians().cos() * half(from.1, to.1)
}
