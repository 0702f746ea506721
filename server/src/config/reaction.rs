use std::{collections::BTreeSet, time::Duration};

use angzarr_proto::Dialect;

use super::{
    Config, ConfigError, Origin,
    component::{Endpoint, Retries, dialect, domain},
    section::Section,
    value,
};

/// Calls at one time, unless told otherwise.
const CONCURRENCY: usize = 16;

/// A saga, process manager or projector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Its name, no other component's.
    pub name: String,
    /// Domain of its own events; process managers only.
    pub domain: Option<String>,
    /// Where it listens.
    pub address: Endpoint,
    /// The protocol it speaks; found out by asking when `None`.
    pub dialect: Option<Dialect>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// What to do about an event that it does not take.
    pub retries: Retries,
    /// Aggregates whose events are handed to it at one time.
    pub concurrency: usize,
    /// What it reacts to.
    pub inputs: Vec<Input>,
    /// Domains whose next sequences it is told.
    pub targets: Vec<String>,
    /// Whether it gets the events of branches too.
    pub all_editions: bool,
    /// Whether it begins with what comes after its first start, in place of the first event of
    /// the store.
    pub from_now: bool,
}

/// Events that a component reacts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Their domain.
    pub domain: String,
    /// Type names, in full or their last dotted part; empty for all.
    pub types: Vec<String>,
}

/// The three kinds of component.
pub(super) struct Reactions {
    sagas: Vec<Reaction>,
    process_managers: Vec<Reaction>,
    projectors: Vec<Reaction>,
}

impl Reactions {
    /// Reads the three lists; names are unique across them.
    pub(super) fn read(root: &mut Section) -> Result<Self, ConfigError> {
        let mut names = BTreeSet::new();
        let mut list = |list: &'static str| {
            let sections = root.sections(list)?.into_iter();
            sections
                .map(|section| Reaction::read(section, list, None, &mut names))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            sagas: list("sagas")?,
            process_managers: list("process_managers")?,
            projectors: list("projectors")?,
        })
    }

    pub(super) fn fill(self, config: &mut Config) {
        config.sagas = self.sagas;
        config.process_managers = self.process_managers;
        config.projectors = self.projectors;
    }
}

/// The aggregate around an inline saga.
struct Around<'a> {
    domain: &'a str,
    address: &'a Endpoint,
}

impl Reaction {
    /// Sagas inside the entry of an aggregate: address and inputs are its own unless given.
    pub(super) fn inline(
        sections: Vec<Section>,
        domain: &str,
        address: &Endpoint,
    ) -> Result<Vec<Self>, ConfigError> {
        let mut names = BTreeSet::new();
        let around = Around { domain, address };
        sections
            .into_iter()
            .map(|section| Self::read(section, "sagas", Some(&around), &mut names))
            .collect()
    }

    /// One entry of a list.
    fn read(
        mut section: Section,
        list: &'static str,
        around: Option<&Around<'_>>,
        names: &mut BTreeSet<String>,
    ) -> Result<Self, ConfigError> {
        let name = section.require("name", |text| {
            domain(text).map_err(|problem| problem.replace("a domain", "a name"))?;
            if !names.insert(text.to_owned()) {
                return Err(format!("{text:?} is the name of an entry above"));
            }
            Ok(text.to_owned())
        })?;
        let own = |text: &str| domain(text).map(|()| text.to_owned());
        let own_domain = match list {
            "process_managers" => Some(section.require("domain", own)?),
            _ => None,
        };
        let address = match around {
            Some(around) => section.parse("address", around.address.clone(), Endpoint::parse)?,
            None => section.require("address", Endpoint::parse)?,
        };
        let targets = match list {
            "projectors" => Vec::new(),
            _ => domains(&mut section, "targets")?,
        };
        const EDITIONS: [(&str, bool); 2] = [("main", false), ("all", true)];
        const STARTS: [(&str, bool); 2] = [("beginning", false), ("now", true)];
        let reaction = Self {
            name,
            domain: own_domain,
            address,
            dialect: section.parse("dialect", None, dialect)?,
            timeout: section.parse("timeout", Duration::from_secs(30), value::positive_duration)?,
            retries: Retries::read(section.section("retries")?)?,
            concurrency: section.parse("concurrency", CONCURRENCY, value::number(1, 100_000))?,
            inputs: inputs(&mut section, around)?,
            targets,
            all_editions: section.parse("editions", list != "projectors", |text| {
                value::choice(&EDITIONS, text)
            })?,
            from_now: section.parse("start", false, |text| value::choice(&STARTS, text))?,
        };
        section.finish()?;
        Ok(reaction)
    }
}

fn inputs(section: &mut Section, around: Option<&Around<'_>>) -> Result<Vec<Input>, ConfigError> {
    let sections = section.sections("inputs")?;
    if sections.is_empty() {
        if let Some(around) = around {
            return Ok(vec![Input {
                domain: around.domain.to_owned(),
                types: Vec::new(),
            }]);
        }
        return Err(section.missing("inputs", "needs at least one {domain: ...}"));
    }
    let read = |mut section: Section| {
        let input = Input {
            domain: section.require("domain", |text| domain(text).map(|()| text.to_owned()))?,
            types: texts(section.texts("types")?),
        };
        section.finish()?;
        Ok(input)
    };
    sections.into_iter().map(read).collect()
}

fn domains(section: &mut Section, key: &'static str) -> Result<Vec<String>, ConfigError> {
    let listed = section.texts(key)?.unwrap_or_default();
    for (origin, text) in &listed {
        domain(text).map_err(|problem| section.bad(key, origin, problem))?;
    }
    Ok(texts(Some(listed)))
}

fn texts(listed: Option<Vec<(Origin, String)>>) -> Vec<String> {
    let listed = listed.unwrap_or_default().into_iter();
    listed.map(|(_, text)| text).collect()
}
