/** Shares one call of `load` among concurrent callers with the same key. */
export function singleFlight<Value>(load: (key: string) => Promise<Value>): (key: string) => Promise<Value> {
  const flights = new Map<string, Promise<Value>>();
  return (key) => {
    const flying = flights.get(key);
    if (flying) return flying;
    const flight = load(key).finally(() => flights.delete(key));
    flights.set(key, flight);
    return flight;
  };
}
