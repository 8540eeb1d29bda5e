// SPDX-License-Identifier: GPL-2.0-only
// Go stacks known by construction. Go has no .eh_frame, but frame pointers.
package main

import (
	"fmt"
	"os"
)

var sink int

//go:noinline
func leaf(rounds int) int {
	for number := 0; number < rounds; number++ {
		sink += number
	}
	return sink
}

//go:noinline
func inner(rounds int) int {
	return leaf(rounds) + 1
}

//go:noinline
func outer(rounds int) int {
	return inner(rounds) + 1
}

func main() {
	fmt.Printf("ready %d\n", os.Getpid())
	for {
		outer(2000)
	}
}
