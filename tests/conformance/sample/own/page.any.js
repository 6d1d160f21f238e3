// META: global=window
document.title = 'no worker runs this';
