test(() => {}, 'Before it throws');
throw new Error('on purpose');
