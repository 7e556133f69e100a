// What can go wrong in a way that the person at the page can act on.

export class TryOnError extends Error {
  /** @param kind "no-person", "no-garment", "bad-picture" or "no-network"; @param message shown as it is */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
