// What was asked, in the page's address: reload, back and a link show it again.

export const told = () => new URLSearchParams(location.search);

// `entries` are pairs of name and value; those without a value are left out.
export function remember(entries) {
  const kept = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const address = kept.length ? `?${new URLSearchParams(kept.map(([name, value]) => [name, String(value)]))}` : location.pathname;
  if (address !== (location.search || location.pathname)) history.pushState(null, "", address);
}
