//! The story, step by step.

use std::path::Path;

use angzarr_proto::v1::{EventPage, event_page};
use prost_types::Any;
use tonic::Code;

use super::{
    Trouble,
    aggregates::{decide_order, decide_stock},
    handler::Handler,
    messages::{
        CancelOrder, ConfirmOrder, PlaceOrder, ReceiveStock, ReserveStock, ShipOrder, pack, tell,
    },
    process::{Process, Setup},
    shop::{Place, Shop, sequence},
    timeline::{self, Fork},
};
use crate::{
    cli::type_name,
    output::{Ink, Output},
};

const TEA: Place = Place {
    domain: "stock",
    name: "tea",
    branch: None,
};
const ADA: Place = Place {
    domain: "order",
    name: "Ada",
    branch: None,
};
const GRACE: Place = Place {
    domain: "order",
    name: "Grace",
    branch: None,
};
const LINUS: Place = Place {
    domain: "order",
    name: "Linus",
    branch: None,
};
const WHAT_IF: &str = "what-if";
/// The branch knows that the tea came and that Ada got hers, and that everybody ordered.
const DIVERGENCES: [(&str, u32); 2] = [("stock", 2), ("order", 1)];

/// Tells the whole story, with everything under `folder`.
pub(super) async fn play(output: &mut Output, folder: &Path) -> Result<(), Trouble> {
    let stock = Handler::start(decide_stock).await?;
    let order = Handler::start(decide_order).await?;
    let setup = Setup {
        folder: folder.to_path_buf(),
        handlers: vec![
            ("stock", stock.address.clone()),
            ("order", order.address.clone()),
        ],
    };
    output.line("")?;
    output.line(output.paint(
        Ink::Title,
        "A small tea shop, played against a real server.",
    ))?;

    let process = Process::start(&setup).await?;
    let mut shop = Shop::connect(&setup.socket()).await?;
    let durability = shop.durability().await?;
    if durability != "fsync" {
        return Err(Trouble::wrong(format!(
            "durability is {durability}, not fsync"
        )));
    }
    let mut story = Story {
        output,
        shop,
        steps: 0,
    };
    story.step("The server starts")?;
    story.good(&format!(
        "process {} serves a fresh folder; every answer waits for the disk",
        process.pid
    ))?;
    story.sell().await?;
    story.refuse().await?;
    story.ask_what_if().await?;
    let process = story.kill_and_reopen(process, &setup).await?;
    story.go_on().await?;
    story.show().await?;
    process.stop().await
}

struct Story<'a> {
    output: &'a mut Output,
    shop: Shop,
    steps: u32,
}

impl Story<'_> {
    async fn sell(&mut self) -> Result<(), Trouble> {
        self.step("Tea arrives, and three customers want some")?;
        self.done(&TEA, 0, pack(&ReceiveStock { chests: 10 }))
            .await?;
        for (order, chests) in [(&ADA, 4), (&GRACE, 5), (&LINUS, 3)] {
            let customer = order.name.to_owned();
            self.done(order, 0, pack(&PlaceOrder { customer, chests }))
                .await?;
        }
        self.reserve(&TEA, 1, 4, &ADA).await?;
        self.reserve(&TEA, 2, 5, &GRACE).await
    }

    async fn refuse(&mut self) -> Result<(), Trouble> {
        self.step("Not everything is allowed")?;
        let late = pack(&ReserveStock {
            chests: 3,
            customer: "Linus".to_owned(),
        });
        let reason = "3 for Linus, but only 1 left";
        self.refused("by the business", &TEA, 3, late.clone(), reason)
            .await?;
        self.refused("as stale", &TEA, 1, late, "Sequence mismatch:")
            .await?;
        let reason = reason.to_owned();
        self.done(&LINUS, 1, pack(&CancelOrder { reason })).await
    }

    async fn ask_what_if(&mut self) -> Result<(), Trouble> {
        self.step("What if Linus had been faster than Grace?")?;
        let main = self.shop.book(&TEA).await?;
        self.shop.fork(WHAT_IF, &DIVERGENCES).await?;
        let [tea, linus, grace] = [&TEA, &LINUS, &GRACE].map(|place| place.on(WHAT_IF));
        let inherited = self.shop.book(&tea).await?;
        if Some(inherited.pages.as_slice()) != main.pages.get(..2) || inherited.next_sequence != 2 {
            return Err(Trouble::wrong(
                "the branch did not inherit the first two events of main",
            ));
        }
        self.good("the branch what-if leaves main before Grace's tea was reserved")?;
        self.done(&ADA.on(WHAT_IF), 1, pack(&ConfirmOrder {}))
            .await?;
        self.reserve(&tea, 2, 3, &linus).await?;
        let ask = pack(&ReserveStock {
            chests: 5,
            customer: "Grace".to_owned(),
        });
        let reason = "5 for Grace, but only 3 left";
        self.refused("by the business", &tea, 3, ask, reason)
            .await?;
        self.done(
            &grace,
            1,
            pack(&CancelOrder {
                reason: reason.to_owned(),
            }),
        )
        .await?;
        if self.shop.book(&TEA).await? != main {
            return Err(Trouble::wrong("the branch changed the main timeline"));
        }
        self.good("the main timeline noticed nothing of it")
    }

    async fn kill_and_reopen(
        &mut self,
        process: Process,
        setup: &Setup,
    ) -> Result<Process, Trouble> {
        self.step("The server is killed")?;
        let killed = process.pid;
        process.kill().await?;
        self.good(&format!("kill -9 {killed}: no goodbye, no clean shutdown"))?;
        let process = Process::start(setup).await?;
        self.shop.reconnect(&setup.socket()).await?;
        let events = self.shop.check_everything(&DIVERGENCES).await?;
        self.good(&format!(
            "process {} opened the folder again: all {events} acknowledged events are there",
            process.pid
        ))?;
        Ok(process)
    }

    async fn go_on(&mut self) -> Result<(), Trouble> {
        self.step("And life goes on")?;
        self.done(&ADA, 2, pack(&ShipOrder {})).await?;
        self.done(&GRACE, 2, pack(&ShipOrder {})).await
    }

    async fn show(&mut self) -> Result<(), Trouble> {
        self.shop.check_everything(&DIVERGENCES).await?;
        let mut forks = Vec::new();
        for place in [&TEA, &ADA, &GRACE, &LINUS] {
            let at = DIVERGENCES
                .iter()
                .find(|(domain, _)| *domain == place.domain);
            forks.push(Fork {
                title: format!("{} · {}", place.domain, place.name),
                at: at.map_or(0, |(_, sequence)| *sequence),
                main: self.shop.book(place).await?,
                branch: self.shop.book(&place.on(WHAT_IF)).await?,
            });
        }
        Ok(timeline::draw(self.output, WHAT_IF, &forks)?)
    }

    /// Reserves tea for an order and confirms the order.
    async fn reserve(
        &mut self,
        tea: &Place,
        expected: u32,
        chests: u32,
        order: &Place,
    ) -> Result<(), Trouble> {
        let customer = order.name.to_owned();
        self.done(tea, expected, pack(&ReserveStock { chests, customer }))
            .await?;
        self.done(order, 1, pack(&ConfirmOrder {})).await
    }

    /// Sends a command that must be carried out.
    async fn done(&mut self, place: &Place, expected: u32, command: Any) -> Result<(), Trouble> {
        let page = self.shop.command(place, expected, command).await;
        let page = page.map_err(Trouble::call("HandleCommand"))?;
        if sequence(&page) != Some(expected) {
            return Err(Trouble::wrong(format!(
                "{page:?} is not at sequence {expected}"
            )));
        }
        let (name, text) = event_text(&page);
        let place = match place.branch {
            None => format!("{} {}", place.domain, place.name),
            Some(branch) => format!("{} {} ({branch})", place.domain, place.name),
        };
        let line = format!(
            "{:<24} {} {} {text}",
            place,
            self.output.paint(Ink::Number, format!("#{expected}")),
            self.output.paint(Ink::Type, format!("{name:<14}")),
        );
        self.good(line.trim_end())
    }

    /// Sends a command that must be refused with this reason, and must not store anything.
    async fn refused(
        &mut self,
        how: &str,
        place: &Place,
        expected: u32,
        command: Any,
        reason: &str,
    ) -> Result<(), Trouble> {
        let before = self.shop.book(place).await?;
        let status = match self.shop.command(place, expected, command).await {
            Err(status) => status,
            Ok(page) => return Err(Trouble::wrong(format!("{page:?} must not be stored"))),
        };
        if status.code() != Code::FailedPrecondition || !status.message().starts_with(reason) {
            return Err(Trouble::wrong(format!(
                "{reason:?} was expected, not {status}"
            )));
        }
        if self.shop.book(place).await? != before {
            return Err(Trouble::wrong("a refused command changed its aggregate"));
        }
        let mark = self.output.paint(Ink::Bad, "✗");
        let text = format!("    {mark} refused {how}: {}", status.message());
        Ok(self.output.line(text)?)
    }

    fn step(&mut self, title: &str) -> Result<(), Trouble> {
        self.steps += 1;
        let line = format!("{}  {title}", self.steps);
        self.output.line("")?;
        Ok(self.output.line(self.output.paint(Ink::Title, line))?)
    }

    fn good(&mut self, text: &str) -> Result<(), Trouble> {
        let line = format!("    {} {text}", self.output.paint(Ink::Good, "✓"));
        Ok(self.output.line(line)?)
    }
}

/// Short type name of an event and what it says.
pub(super) fn event_text(page: &EventPage) -> (String, String) {
    match &page.payload {
        Some(event_page::Payload::Event(any)) => (
            type_name(&any.type_url).to_owned(),
            tell(any).unwrap_or_default(),
        ),
        _ => ("?".to_owned(), String::new()),
    }
}
