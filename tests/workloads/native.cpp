/* SPDX-License-Identifier: GPL-2.0-only */
/* C++ stacks known by construction: exceptions, virtual calls, templates, lambdas, std::sort. */
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define KEEP	 __asm__ volatile("" ::: "memory")

namespace work
{
static volatile unsigned long sink;

NOINLINE unsigned long leaf(int rounds)
{
	for (int i = 0; i < rounds; i++)
		sink += static_cast<unsigned long>(i);
	return sink;
}

struct Shape {
	virtual ~Shape() = default;
	virtual unsigned long area() const = 0;
};

template <typename T> struct Square : Shape {
	NOINLINE unsigned long area() const override
	{
		unsigned long result = leaf(static_cast<int>(sizeof(T)) * 200);
		KEEP;
		return result;
	}
};

NOINLINE void failing(int depth)
{
	if (depth == 0) {
		leaf(8000);
		throw std::runtime_error("on purpose");
	}
	failing(depth - 1);
	KEEP;
}

NOINLINE void catching()
{
	try {
		failing(10);
	} catch (const std::exception &) {
		leaf(8000);
	}
	KEEP;
}

NOINLINE void shapes(const Shape &shape)
{
	shape.area();
	KEEP;
}

NOINLINE bool before(int left, int right)
{
	leaf(100);
	KEEP;
	return left < right;
}

NOINLINE void sorting()
{
	int numbers[] = { 5, 3, 8, 1, 9, 2, 7 };

	std::sort(std::begin(numbers), std::end(numbers), before);
	KEEP;
}
} // namespace work

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "shapes";
	bool exceptions = !std::strcmp(mode, "exceptions"), sorting = !std::strcmp(mode, "sorting");
	work::Square<long> square;

	std::printf("ready %d\n", getpid());
	std::fflush(stdout);
	for (;;) {
		if (exceptions)
			work::catching();
		else if (sorting)
			work::sorting();
		else
			work::shapes(square);
		KEEP;
	}
}
