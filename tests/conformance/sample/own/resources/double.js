function double(value) { return 2 * value; }
