// Node's built-in fetch against a simulated gateway: node examples/node_quickstart.mjs http://127.0.0.1:5055/v1/api
// Places an order far below the price, confirms every question, and cancels it. No packages are needed (Node 18).
const api = process.argv[2] ?? "http://127.0.0.1:5055/v1/api";

async function call(method, path, body) {
  const answer = await fetch(api + path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const value = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${value.error}`);
  return value;
}

const { selectedAccount: account } = await call("GET", "/iserver/accounts");
await call("GET", "/portfolio/accounts");
const stocks = await call("GET", "/trsrv/stocks?symbols=AAPL");
const conid = stocks.AAPL.flatMap((company) => company.contracts).find((contract) => contract.isUS).conid;
console.log(`AAPL is conid ${conid}`);

const chart = await call("GET", `/iserver/marketdata/history?conid=${conid}&period=5d&bar=1d`);
const last = chart.data.at(-1).c;
console.log(`last price ${last}`);

const order = {
  conid, side: "BUY", orderType: "LMT", price: Number((last * 0.9).toFixed(2)), quantity: 1, tif: "GTC",
  cOID: `example-${crypto.randomUUID()}`,
};
let answer = await call("POST", `/iserver/account/${account}/orders`, { orders: [order] });
// An answer in the 200s may still be a question, or a refusal.
while (Array.isArray(answer) && "message" in answer[0]) {
  console.log(`question ${answer[0].messageIds[0]}: yes`);
  answer = await call("POST", `/iserver/reply/${answer[0].id}`, { confirmed: true });
}
if (!Array.isArray(answer)) throw new Error(answer.error);
console.log(`order ${answer[0].order_id}: order_status ${answer[0].order_status}`);

const cancelled = await call("DELETE", `/iserver/account/${account}/order/${answer[0].order_id}`);
console.log(cancelled.msg);
