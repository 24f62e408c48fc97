// Checks that the stock of each sale behaved like one counter that everybody shared (Herlihy and Wing's linearizability), with
// the checker porcupine. It reads the history as JSON from standard input, and exits with 1 when a sale's history is impossible.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// Operation is one step of a client. Times are in milliseconds.
type Operation struct {
	Client int `json:"client"`
	// take: units were sold. give: units came back. short: fewer units than these were left.
	Kind   string `json:"kind"`
	Units  int    `json:"units"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
}

// Sale is a sale's history: how many units it began with, and how many were ever put on sale.
type Sale struct {
	ID         string      `json:"id"`
	Stock      int         `json:"stock"`
	Most       int         `json:"most"`
	Operations []Operation `json:"operations"`
}

const patience = 60 * time.Second

func counter(stock, most int) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return stock },
		Step: func(state, input, _ interface{}) (bool, interface{}) {
			left, step := state.(int), input.(Operation)
			switch step.Kind {
			case "take":
				return left >= step.Units, left - step.Units
			case "give":
				return left+step.Units <= most, left + step.Units
			default:
				return left < step.Units, left
			}
		},
	}
}

func main() {
	var sales []Sale
	if err := json.NewDecoder(os.Stdin).Decode(&sales); err != nil {
		fmt.Fprintln(os.Stderr, "The history cannot be read:", err)
		os.Exit(2)
	}
	failed := false
	for _, sale := range sales {
		var history []porcupine.Operation
		for _, step := range sale.Operations {
			history = append(history, porcupine.Operation{
				ClientId: step.Client, Input: step, Call: step.Call, Output: nil, Return: step.Return,
			})
		}
		result := porcupine.CheckOperationsTimeout(counter(sale.Stock, sale.Most), history, patience)
		fmt.Printf("sale %s: %d steps of a counter of %d: %s\n", sale.ID, len(history), sale.Stock, result)
		failed = failed || result != porcupine.Ok
	}
	if failed {
		os.Exit(1)
	}
}
