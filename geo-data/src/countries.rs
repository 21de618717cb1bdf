//! Countries: their names, continents and where their people are.

use portolan_core::geo::{Country, Point};
use std::sync::OnceLock;

/// A country or territory of ISO 3166-1, or Kosovo (XK).
#[derive(Clone, Debug, PartialEq)]
pub struct CountryInfo {
    /// Its two letters.
    pub country: Country,
    /// Its English name.
    pub name: &'static str,
    /// Its continent.
    pub continent: Continent,
    /// The middle of its population: for an address of which only the country is known. The middle of its area would
    /// send Canadians to the Arctic.
    pub point: Point,
}

/// A continent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Continent {
    Africa,
    Antarctica,
    Asia,
    Europe,
    NorthAmerica,
    Oceania,
    SouthAmerica,
}

impl Continent {
    /// The two letters that GeoNames and MaxMind use.
    pub fn code(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }

    /// The inverse of [`Continent::code`].
    pub fn parse(code: &str) -> Option<Self> {
        use Continent::{Africa, Antarctica, Asia, Europe, NorthAmerica, Oceania, SouthAmerica};
        let all = [Africa, Antarctica, Asia, Europe, NorthAmerica, Oceania, SouthAmerica];
        all.into_iter().find(|continent| continent.code() == code)
    }
}

/// All countries by their letters.
pub fn all() -> &'static [CountryInfo] {
    static COUNTRIES: OnceLock<Vec<CountryInfo>> = OnceLock::new();
    COUNTRIES.get_or_init(|| {
        include_str!("../data/countries.csv")
            .lines()
            .skip(1)
            .filter_map(parse)
            .collect()
    })
}

/// What is known of a country; `None` for unknown and for letters that no country has, such as `EU` or `ZZ`.
pub fn find(country: Country) -> Option<&'static CountryInfo> {
    let index = all().binary_search_by_key(&country, |info| info.country).ok()?;
    all().get(index)
}

/// The continent of a country.
pub fn continent(country: Country) -> Option<Continent> {
    find(country).map(|info| info.continent)
}

// The name comes last: it may contain a comma.
fn parse(line: &'static str) -> Option<CountryInfo> {
    let mut columns = line.splitn(5, ',');
    let (country, continent) = (Country::parse(columns.next()?)?, Continent::parse(columns.next()?)?);
    let point = Point::new(columns.next()?.parse().ok()?, columns.next()?.parse().ok()?).ok()?;
    let name = columns.next()?;
    Some(CountryInfo {
        country,
        name,
        continent,
        point,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_a_country_in_order() {
        assert_eq!(all().len(), include_str!("../data/countries.csv").lines().count() - 1);
        assert!(all().is_sorted_by(|a, b| a.country < b.country));
    }

    #[test]
    fn countries_are_found_with_their_continent() {
        for (code, name, expected) in [
            ("GB", "United Kingdom", Continent::Europe),
            ("us", "United States", Continent::NorthAmerica),
            ("SG", "Singapore", Continent::Asia),
            ("ZA", "South Africa", Continent::Africa),
            ("BQ", "Bonaire, Saint Eustatius and Saba", Continent::NorthAmerica),
        ] {
            let country = Country::parse(code).unwrap();
            assert_eq!(find(country).unwrap().name, name);
            assert_eq!(continent(country), Some(expected));
        }
    }

    #[test]
    fn letters_that_are_no_country_are_not_found() {
        for code in ["EU", "AP", "AN", "ZZ", "A1", "A2", "O1"] {
            assert_eq!(Country::parse(code).and_then(find), None, "{code}");
        }
        assert_eq!(find(Country::UNKNOWN), None);
    }

    #[test]
    fn points_are_where_people_are() {
        let canada = find(Country::parse("CA").unwrap()).unwrap().point;
        assert!(canada.latitude() < 50.0, "{canada:?} is too far north");
    }
}
