#!/usr/bin/env bash
# Plain curl against a simulated gateway: examples/curl_order.sh http://127.0.0.1:5055/v1/api
# Places an order far below the price, confirms every question, and cancels it.
set -euo pipefail
api=${1:-http://127.0.0.1:5055/v1/api}

call() { # method, path, JSON body
  curl -sS --fail-with-body -X "$1" "$api$2" -H "Content-Type: application/json" ${3:+-d "$3"}
}
field() { # the value of a text field in the JSON on stdin
  sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"
}

account=$(call GET /iserver/accounts | field selectedAccount)
call GET /portfolio/accounts > /dev/null
echo "account $account"

name="example-$$-$RANDOM"
order="{\"conid\": 265598, \"side\": \"BUY\", \"orderType\": \"LMT\", \"price\": 500, \"quantity\": 1, \"tif\": \"GTC\","
answer=$(call POST "/iserver/account/$account/orders" "{\"orders\": [$order \"cOID\": \"$name\"}]}")
while [[ $answer == *'"message"'* ]]; do
  echo "question $(sed 's/.*"messageIds":\["\([^"]*\)".*/\1/' <<< "$answer"): yes"
  answer=$(call POST "/iserver/reply/$(field id <<< "$answer")" '{"confirmed": true}')
done
if [[ $answer != *'"order_id"'* ]]; then
  echo "refused: $answer" >&2
  exit 1
fi
order_id=$(field order_id <<< "$answer")
echo "order $order_id: order_status $(field order_status <<< "$answer")"
call DELETE "/iserver/account/$account/order/$order_id"
echo
