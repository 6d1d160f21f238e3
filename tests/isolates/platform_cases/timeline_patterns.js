cases['a mark and a measure are on the timeline until cleared'] = () => {
  performance.mark('start', { startTime: 5, detail: { n: 1 } });
  const measure = performance.measure('span', { start: 'start', duration: 10 });
  same([measure.startTime, measure.duration, measure.detail], [5, 10, null]);
  same(performance.getEntriesByType('mark').map((entry) => entry.toJSON()), [
    { name: 'start', entryType: 'mark', startTime: 5, duration: 0, detail: { n: 1 } },
  ]);
  performance.clearMarks('start');
  performance.clearMeasures();
  same(performance.getEntries(), []);
};

cases['a measure from a mark that does not exist is a SyntaxError'] = () => {
  throws(() => performance.measure('span', 'nowhere'), 'SyntaxError');
};

cases['the timeline keeps a bounded number of entries'] = () => {
  for (let i = 0; i < 25_000; i++) performance.mark('often');
  const kept = performance.getEntriesByName('often').length;
  performance.clearMarks();
  ok(kept > 1000 && kept <= 10_000);
};

cases['a performance observer is told of marks after the fact'] = async () => {
  const names = await new Promise((resolve) => {
    const observer = new PerformanceObserver((list) => {
      observer.disconnect();
      resolve(list.getEntries().map((entry) => entry.name));
    });
    observer.observe({ entryTypes: ['mark', 'unknown'] });
    performance.mark('one');
    performance.mark('two');
  });
  performance.clearMarks();
  same(names, ['one', 'two']);
};

cases['URLPattern matches and names its groups'] = () => {
  const pattern = new URLPattern({ pathname: '/books/:id(\\d+){/:page}?' });
  same(pattern.exec('https://a.test/books/12/3').pathname.groups, { id: '12', page: '3' });
  equal(pattern.test('https://a.test/books/x'), false);
  equal(Object.prototype.toString.call(pattern), '[object URLPattern]');
};

cases['URLPattern takes hostnames, ports and names as the URL parser and the standard do'] = () => {
  const pattern = new URLPattern({ hostname: 'EXAMPLE.com/x', pathname: '/:a\u{10450}/([[a-z]--b])' });
  equal(pattern.hostname, 'example.com');
  const ports = new URLPattern({ port: '81' });
  same([ports.test({ port: '8\t1x' }), ports.test({ port: '82' })], [true, false]);
  same([pattern.test('http://example.com/1/a'), pattern.test('http://example.com/1/b')], [true, false]);
  throws(() => new URLPattern({ hostname: 'a%b' }), 'TypeError');
};
