// SPDX-License-Identifier: GPL-2.0-only
// Go stacks known by construction. Go has no .eh_frame, but frame pointers; a function that calls
// none sets up no frame. `native frames` has its time in a function with one, `native` without.
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
func tick() {
	sink++
}

//go:noinline
func framed(rounds int) int {
	for number := 0; number < rounds; number++ {
		sink += number
	}
	tick()
	return sink
}

//go:noinline
func middle(rounds int) int {
	return framed(rounds) + 1
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
	frames := len(os.Args) > 1
	for {
		if frames {
			middle(2000)
		} else {
			outer(2000)
		}
	}
}
