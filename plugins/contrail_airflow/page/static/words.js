// Numbers, dates and times in the reader's own words.

const locale = navigator.languages?.length ? [...navigator.languages] : undefined;
const format = (options) => new Intl.DateTimeFormat(locale, options);
const DAY = format({ weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const SHORT = format({ weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const MONTH = format({ month: "short", timeZone: "UTC" });
const YEAR = format({ month: "short", year: "numeric", timeZone: "UTC" });
const MOMENT = format({ weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const COUNT = new Intl.NumberFormat(locale);
const SIGNED = new Intl.NumberFormat(locale, { signDisplay: "exceptZero", maximumFractionDigits: 4 });
const RATE = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
const NUMBER = new Intl.NumberFormat(locale, { maximumSignificantDigits: 4 });

const utc = (iso) => new Date(`${iso}T00:00:00Z`);

/** "Thu, 12 Dec 2013", of an ISO date. */
export const day = (iso) => DAY.format(utc(iso));
/** The same without its year. */
export const shortDay = (iso) => SHORT.format(utc(iso));
export const month = (iso) => (iso.slice(5, 7) === "01" ? YEAR : MONTH).format(utc(iso));
/** A moment in the reader's time zone. */
export const moment = (iso) => (iso ? MOMENT.format(new Date(iso)) : "");
export const count = (number) => COUNT.format(number);
export const signed = (number) => SIGNED.format(number);
export const rate = (share) => RATE.format(share);
export const number = (value) => NUMBER.format(value);
/** "1 day", "14 days". */
export const so = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
/** "2013-01-01..2013-01-05" as two dates. */
export function days(text) {
  const [first, last] = text.split("..");
  return last ? `${day(first)} – ${day(last)}` : day(first);
}
/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 10) return `${new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(seconds)} s`;
  if (seconds < 90) return `${count(Math.round(seconds))} s`;
  if (seconds < 5400) return `${count(Math.round(seconds / 60))} min`;
  return `${new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(seconds / 3600)} h`;
}
/** The ISO date some days later. */
export function later(iso, by) {
  const moved = utc(iso);
  moved.setUTCDate(moved.getUTCDate() + by);
  return moved.toISOString().slice(0, 10);
}
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
