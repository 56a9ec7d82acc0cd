"""What the likeness page says in plain words: how to read a coincidence rate, and where the method ends."""

from __future__ import annotations

READING = (
    "A generated face belongs to nobody, so no match can be \u201cfalse\u201d. What can be counted is coincidence: "
    "\u201c1 in 480\u201d means that of 480 unrelated people about one resembles this entry at least as much as the "
    "face in the clip does.",
    "The interval says how well the cohort knows that number. A cohort of 500 people cannot tell 1 in 1,000 from "
    "1 in 1,000,000: then it says \u201cat most 1 in 167, not resolvable further\u201d. Rarer than the cohort can "
    "tell is no all-clear; it is at least REVIEW.",
    "A rate is for one comparison. A run makes one for every face and entry, so even rare resemblance turns up by "
    "chance: read it beside the expected chance alerts. An ALERT by its rate means that chance explains it poorly "
    "in all comparisons of the run. An ALERT by the strict point means that the cohort cannot tell how rare it is, "
    "and that at least three frames are past the stricter point of the embedder: how many of these chance gives is "
    "told, and not limited.",
    "Where groups were given with the cohort, the rate among people of the same group comes first, because people of "
    "one group resemble each other more.",
    "Without a cohort there is no rate. Then a hit only says that a published point was passed.",
)
LIMITS = (
    "A face is compared, and nothing else: not a voice, a body, a name, clothing or a setting.",
    "Faces that are small, blurred, turned away, covered or badly lit cannot be compared. They are listed, and never "
    "counted as a pass.",
    "Only examined frames are looked at. A face that shows only between two of them is not seen.",
    "No hit means that nobody in this gallery was found by this embedder. It says nothing of people who are not in "
    "the gallery, and little of one whose photographs are poor or old.",
    "Face embedders err more for some people than for others. A rate holds for people like those of the cohort.",
    "Miss rates of a self-test are measured with pasted photographs. A likeness that a model paints can be harder to "
    "find, and harder to judge.",
    "The page states facts. Whether a likeness is lawful is not a question that it answers.",
)
