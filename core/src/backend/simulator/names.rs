//! Names for containers that nobody has named: an adjective and somebody who is worth remembering.

use alloc::format;
use alloc::string::String;

const ADJECTIVES: [&str; 64] = [
    "admiring", "agitated", "amazing", "bold", "brave", "busy", "charming", "clever", "compassionate", "confident",
    "cool", "cranky", "dazzling", "determined", "dreamy", "eager", "ecstatic", "elastic", "elated", "elegant",
    "eloquent", "epic", "fervent", "festive", "focused", "friendly", "frosty", "funny", "gallant", "gifted",
    "goofy", "gracious", "great", "happy", "hardcore", "hopeful", "hungry", "infallible", "inspiring", "intelligent",
    "jolly", "jovial", "keen", "kind", "laughing", "loving", "lucid", "magical", "modest", "musing", "mystifying",
    "nervous", "nice", "nifty", "nostalgic", "objective", "optimistic", "peaceful", "pensive", "practical",
    "priceless", "quirky", "quizzical", "relaxed",
];

const SURNAMES: [&str; 80] = [
    "agnesi", "albattani", "allen", "almeida", "archimedes", "ardinghelli", "aryabhata", "babbage", "banach", "bardeen",
    "bartik", "bassi", "beaver", "bell", "benz", "bhabha", "bhaskara", "blackwell", "bohr", "booth", "borg", "bose",
    "boyd", "brattain", "brown", "carson", "chandrasekhar", "chatelet", "chebyshev", "cori", "cray", "curie", "darwin",
    "davinci", "dijkstra", "dubinsky", "easley", "edison", "einstein", "elion", "engelbart", "euclid", "euler",
    "fermat", "fermi", "feynman", "franklin", "galileo", "gates", "goldberg", "goodall", "hamilton", "hawking",
    "heisenberg", "hermann", "hodgkin", "hopper", "hypatia", "johnson", "kalam", "keller", "kepler", "khorana", "kilby",
    "knuth", "kowalevski", "lalande", "lamarr", "leakey", "lovelace", "lumiere", "mayer", "mccarthy", "mcclintock",
    "meitner", "morse", "newton", "noether", "pasteur", "turing",
];

/// A name; after so many that were taken it ends in a number.
pub(super) fn random(random: &mut fastrand::Rng, attempt: u32) -> String {
    let adjective = ADJECTIVES[random.usize(..ADJECTIVES.len())];
    let surname = SURNAMES[random.usize(..SURNAMES.len())];
    match attempt {
        0..3 => format!("{adjective}_{surname}"),
        3..6 => format!("{adjective}_{surname}{}", random.u32(..10)),
        _ => format!("{adjective}_{surname}{}", random.u64(..)),
    }
}

#[cfg(test)]
mod tests {
    use super::random;

    #[test]
    fn names_have_two_parts_and_can_be_used() {
        let mut seeded = fastrand::Rng::with_seed(1);
        for attempt in 0..20 {
            let name = random(&mut seeded, attempt);
            assert_eq!(name.split('_').count(), 2, "{name}");
            assert!(crate::backend::simulator::is_name(&name), "{name}");
        }
    }
}
