const show = (id, text) => { document.getElementById(id).textContent = text; };
const events = new EventSource('/events');
events.addEventListener('state', event => {
  const state = JSON.parse(event.data);
  show('status', 'Connected');
  show('visits', state.visits);
  show('cart', state.cart);
});
events.addEventListener('end', event => {
  events.close();
  document.querySelector('nav').remove();
  document.getElementById('state').remove();
  show('title', 'Signed out');
  show('status', `This session has ended: ${event.data}.`);
});
// The browser connects again by itself.
events.addEventListener('error', () => show('status', 'Connecting…'));
