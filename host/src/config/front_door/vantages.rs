//! The vantages: the instances that vote.

use crate::config::compound::At;
use crate::config::document::{Content, Node};
use crate::config::error::Mistakes;
use crate::config::regions::Places;
use crate::config::section::section;
use crate::config::shape::{Shape, is_nothing};
use portolan_azure::names;
use portolan_azure::settings::Vantage;
use portolan_core::id::RegionName;
use serde_json::{Value, json};

/// The name of a vantage: it is part of a URL.
#[derive(Clone, Debug)]
pub(in crate::config) struct VantageWord(pub(super) names::VantageName);

impl Shape for VantageWord {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = String::read(node, mistakes)?;
        match names::VantageName::new(&text) {
            Ok(name) => Some(Self(name)),
            Err(error) => {
                mistakes.at(node.id(), error.to_string());
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[a-z0-9-]{1,63}$" })
    }
}

/// A vantage: its name, or `{ name, region }`.
#[derive(Debug)]
pub(in crate::config) enum VantageShape {
    /// It is in the region of its name.
    Name(VantageWord),
    Section(VantageSection),
}

section! {
    /// An instance that votes.
    VantageSection {
        /// Its name.
        required name: VantageWord,
        /// The region it stands in, whose faults it may share; null when it stands outside all. Default: the
        /// region of its name.
        optional region: At<Standing>,
    }
}

impl Shape for VantageShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Map(_) => VantageSection::read(node, mistakes).map(Self::Section),
            _ => VantageWord::read(node, mistakes).map(Self::Name),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [VantageWord::schema(), VantageSection::schema()] })
    }
}

/// The name of a region, or null.
#[derive(Debug)]
pub(in crate::config) struct Standing(Option<String>);

impl Shape for Standing {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Scalar { text, plain: true } if is_nothing(text) => Some(Self(None)),
            _ => String::read(node, mistakes).map(|name| Self(Some(name))),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [String::schema(), { "enum": [null] }] })
    }
}

/// All vantages. Those that could not be read are left out, and reported already.
pub(super) fn vantages(shapes: &[VantageShape], places: &Places, mistakes: &mut Mistakes<'_>) -> Vec<Vantage> {
    let vantages = shapes.iter().filter_map(|shape| match shape {
        VantageShape::Name(name) => Some(Vantage::named(name.0.clone())),
        VantageShape::Section(section) => section.vantage(places, mistakes),
    });
    vantages.collect()
}

impl VantageSection {
    fn vantage(&self, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<Vantage> {
        let standing = self.region.as_ref().map(|region| (region.0.as_deref(), region.id));
        if let Some((Some(region), id)) = standing {
            // Reported when it is unknown: a misspelt region would make its vote count as one from outside.
            let _ = places.find(region, id, mistakes);
        }
        let name = self.name.as_ref()?.0.clone();
        Some(match standing {
            Some((region, _)) => Vantage {
                name,
                region: region.map(RegionName::new),
            },
            None => Vantage::named(name),
        })
    }
}
